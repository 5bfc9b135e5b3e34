"""The formats of CI services: SARIF, JUnit XML, annotations of GitHub."""
