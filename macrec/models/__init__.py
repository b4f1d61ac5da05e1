"""Networks: a model maps tensors to tensors, without files or training."""
