"""A config.json: what it is, how its keys are taken, and the pieces that families read and write alike."""
