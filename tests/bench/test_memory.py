"""The allocator is named, and the command says how it is chosen."""

from convnotes.bench import __main__ as command
from convnotes.bench import memory


def test_the_allocator_is_named(monkeypatch):
    for name in (*memory.STEADY, "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert memory.allocator() == "glibc's default"
    for name, value in memory.STEADY.items():
        assert f"{name}={value} " in command.__doc__
        monkeypatch.setenv(name, value)
    assert memory.allocator() == "steady"
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")
    assert memory.allocator() == "preloaded libjemalloc.so.2"
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    assert memory.allocator() == "the system's"
