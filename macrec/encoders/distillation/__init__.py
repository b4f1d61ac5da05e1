"""RQ-DINO: a network learns pictures without labels, and their codes with them (MSCGRec, arXiv 2602.03713).

Self-distillation (DINO, arXiv 2104.14294): a student is shown crops of a picture and predicts what its teacher, its own
moving average, makes of other crops. Between the student's network and its head stands a residual quantizer, so that
what the student can say of a picture is its codes.

The paper body could not be read. Which branch is quantized, losses, weights and schedule are ours
(`macrec.encoders.distillation.recipe`).
"""
