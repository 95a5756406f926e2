"""The reference documentation, made from the code that it describes.

`python -m occlum_build.reference --output docs/reference` writes it. Whatever a page
says of an attribute, a key, an option or a code is read from the object that gives it
its meaning, so that the page cannot say anything else. A test holds the written pages
against what this package writes.
"""
