"""FastConformer-CTC (Rekesh et al. 2023), as which NVIDIA's Parakeet is published."""
