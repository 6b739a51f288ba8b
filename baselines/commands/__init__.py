"""The commands of `edge-experts`, one file each, by what they are for."""
