"""Reports about sequences: hidden states, lengths, generated text."""
