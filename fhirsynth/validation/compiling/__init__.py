"""The compiler of conformance packages: FHIR packages of definitions in, the readable rule files of `profiles/` out.

`packages` reads a package, `structures` turns structure definitions into rules, `terminology` value sets and code
systems into codes, `writing` writes them as TOML, `releases` does all of it for several packages that lean on one
another.
"""
