"""The kernels of the notebooks use one thread, as the stored outputs did: the order of a sum is part of its digits."""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
