"""Values of options that several verbs take."""

import argparse


def positive_integer(text: str) -> int:
    """How many; raises what `argparse` reports where it is no number, or none at all."""
    if not (text.isascii() and text.isdecimal()) or not int(text):
        raise argparse.ArgumentTypeError(f"`{text}` is no positive number")
    return int(text)
