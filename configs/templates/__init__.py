"""What `edge-experts new` writes: files to begin with, which `validate` finds sound."""
