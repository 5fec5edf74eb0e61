"""A population on its way into a FHIR server: what is sent, in which order, and what came of it.

source ──► order ──► sending ──► server        journal: what is done, so that a load can go on
units of   pieces    transactions  retries     verifying: what the server holds, beside the files
work                 or single PUTs
"""
