"""Places, proper motions and parallaxes of stars from catalogues of many visits."""
