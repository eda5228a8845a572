"""`mmkeras train --encoders auto`: frozen encoders and small heads compete on the validation part.

`choice` says which encoders there are; `sources` computes what they make of the rows, once;
`linear` is logistic regression; `heads` are the models behind the encoders; `race` lets them
compete, and puts the winner and its encoders together into one Keras model.
"""
