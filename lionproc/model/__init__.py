"""Who answers: models, providers, the wire to them and the shape of their answers."""
