"""What ties the modalities of an item together before and while their codebooks learn."""
