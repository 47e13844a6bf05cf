"""What CLIP models are known to be bad at, as sets of composed pictures with exact ground truth.

sets         WEAK_SPOTS: every probe by its name;  config  size, seed and where drawings come from
  counting     one to six copies of a thing
  spatial      one thing above, below, left or right of another; which of the two is where
  binding      a red square and a blue circle, or a blue square and a red circle?
  written      the word that is written; a drawing with the name of another thing written on it
  wording      one set of drawings under paraphrased prompts
  skin_tone    emoji of people in all skin tones: is their label found equally often?
things       plain shapes, drawn with Pillow alone;  drawings  the demo's held-out drawings
page         a white page, what is put on it, and the set that such pages make

Captions of one choice differ in the tested point only. Each of them is the right one equally often,
for the same things, so that whoever does not look at the picture is right as often as chance has
it, whatever captions they prefer.
"""
