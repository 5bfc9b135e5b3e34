"""Write a verdict in the formats of CI services: SARIF, JUnit XML, annotations of GitHub."""

__all__ = ["github", "junit", "sarif"]
