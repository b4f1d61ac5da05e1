"""Networks: a model maps tensors to tensors and knows neither files nor training."""
