"""From gradients to new weights.

optimizer       groups by weight decay and layer, one update, the logit scale's clamp
stable_adamw    AdamW whose step is shortened tensor by tensor
lr_schedule     the learning rate of each step
ema             a moving average of the weights
loss_scale      fp16's
"""
