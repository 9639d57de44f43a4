"""The turbulence of single visits: a Gaussian process on the residuals of the astrometric fit.

:func:`drpflow.algorithms.turbulence.solution.solve_with_turbulence` is the way in.
"""
