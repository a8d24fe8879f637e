"""A stand-in for Stripe's servers at API version 2026-04-22.dahlia: its own app, file and clock."""
