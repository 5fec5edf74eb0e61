"""`python -m fhirsynth`: the command line."""

from fhirsynth.cli.app import main

if __name__ == "__main__":
    main()
