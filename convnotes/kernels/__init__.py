"""The fast paths behind the layers: a folder is an operator, a file in it is how the operator is computed::

    operator.py   what it is: options, gradients, which implementation runs     in_torch.py    plain torch, any device
    in_numba.py   the host's side on the CPU     loops.py  compiled loops       in_triton.py   CUDA

Beside them: `operator.define` registers an operator, `backend` chooses what computes it, `rules` has what "auto"
decides beyond device and dtype, `cpu` holds what compiled loops share, `gpu` what Triton kernels share, `private` what
is used of torch's private parts. To add an operator:

1. Make the folder. Name its options, a `NamedTuple` of numbers, strings and tuples of numbers.
2. Write `in_torch.py`: a function of the tensors and the options, without derivatives; tests compare all others to it.
3. In `operator.py`, call `define` with the schema of the tensors, the name of that function, the shape of the result
   and the derivative, from calls of the operator itself or by a function of its own. Layers call what it returns.
4. Where a loop is faster, write it in `loops.py` under `cpu.compile.loop`, and call it in `in_numba.py` by
   `cpu.jobs.run`; sizes travel as one `NamedTuple`. A kernel for CUDA goes to `in_triton.py`, by `gpu.launch.launch`.
5. Two lines of tables: the dtypes of these in `backend.KERNELS`, and calls of the operator in `tests/kernels/cases.py`,
   by which its values and derivatives are tested under every backend.
"""
