"""Training runs that others have published, as recipes; docs/recipes.md has their results.

    clip.py        the nine models of the CLIP paper
    siglip.py      the sigmoid loss
    datacomp.py    the four scales of DataComp
    clipa.py       few tokens of image and text
    academic.py    ResNet-50 on CC3M, CC12M and YFCC15M

recipes.py collects them in the one registry.
"""
