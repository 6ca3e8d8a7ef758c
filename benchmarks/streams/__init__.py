"""Apps over real streams, and the same models in River: `make eval-streams` writes docs/real-streams.md."""
