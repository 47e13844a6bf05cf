"""What a linear classifier, or a fine-tuned one, makes of a model's features.

config       ProbeConfig, FineTuneConfig
run          commands: checkpoint × sets → results.json
lbfgs        limited-memory BFGS with a diagonal preconditioner
logistic     logistic regression as scikit-learn's, several times faster
sweep        the choice of C on a validation split, coarse to fine
few_shot     accuracy with 1, 2, 4 … pictures of each class, over seeds
linear       a set's features → record of results.json and its predictions
samples      its splits, and what was fitted to them
classifier   image encoder and linear head, which starts as the zero-shot classifier
pictures     decoded batches of a set for it
fine_tune    end-to-end training of it, and accuracy along the line between the weights (WiSE-FT)
"""
