"""Write a verdict in the formats of CI services: SARIF, JUnit XML, annotations of GitHub."""
