"""Text for a terminal, made of what files say."""


def visible(text: str) -> str:
    """Text with control characters made harmless: a file cannot drive the terminal."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
