"""Only here so that ``fn deploy`` installs this package; pyproject.toml says how.

Fn's generated Dockerfile runs ``pip install .`` when there is a setup.py, and does not look
for a pyproject.toml. pip itself takes the build backend of pyproject.toml and never runs
this file.
"""

raise SystemExit("use pip: pip install .")
