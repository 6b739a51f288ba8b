"""The commands of `edge-experts`, one file each."""
