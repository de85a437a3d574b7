"""The audit pack: what goes to a third party, and the verifier that goes with it."""
