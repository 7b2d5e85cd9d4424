"""Operations: the command line, health, Flower and accounting, which people run."""
