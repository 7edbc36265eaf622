"""wav2vec 2.0 (Baevski et al. 2020), HuBERT (Hsu et al. 2021), data2vec-audio (Baevski et al. 2022) and WavLM (Chen et
al. 2022) with CTC."""
