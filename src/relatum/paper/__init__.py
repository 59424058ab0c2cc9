"""The experiments of Moschella et al., ICLR 2023: every table and figure, runnable.

An experiment is data (``experiments/<id>.yaml``): which task functions run over
which grid of cells, with the source of every setting and the paper's values. One
runner runs them all. Needs the extra ``paper``.
"""
