"""Operations: change a host; file names mirror ``uplift.facts``."""
