"""The real loading code, on a checkpoint of the published names and shapes that is made on the spot."""

import pytest
import torch
from support.publishing import publish

import convnotes
from convnotes import pretrained


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_weights_are_fetched_once_checked_and_loaded(publisher, tmp_path, monkeypatch, name):
    folder, asked = publisher
    file = publish(folder, name, monkeypatch)
    net = convnotes.pretrained.load_pretrained(name, root=tmp_path / "cache")
    assert not net.training
    state = torch.load(file, weights_only=True)
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key])
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 1000)
    pretrained.load_pretrained(name, root=tmp_path / "cache")
    assert len(asked) == 1, "the second call must read from the disk"


def test_the_segmentation_network_leaves_its_side_classifier_behind(publisher, tmp_path, monkeypatch):
    folder, _ = publisher
    state = torch.load(publish(folder, "deeplabv3_resnet50", monkeypatch), weights_only=True)
    net = pretrained.load_pretrained("deeplabv3_resnet50", root=tmp_path / "cache")
    assert net.aux_classifier is None
    assert not net.training
    assert {key for key in state if not key.startswith("aux_")} == set(net.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert sum(p.numel() for p in net.parameters()) == 39_638_869


def test_a_published_prefix_of_the_digest_is_enough_and_a_wrong_one_is_refused(publisher, tmp_path, monkeypatch):
    folder, _ = publisher
    publish(folder, "squeezenet1_1", monkeypatch)
    file, digest = pretrained.PUBLISHED["squeezenet1_1"]
    monkeypatch.setitem(pretrained.PUBLISHED, "squeezenet1_1", (file, digest[:8]))
    pretrained.load_pretrained("squeezenet1_1", root=tmp_path / "cache")
    monkeypatch.setitem(pretrained.PUBLISHED, "squeezenet1_1", (file, "00000000"))
    with pytest.raises(ValueError, match="gave something else than what was published"):
        pretrained.load_pretrained("squeezenet1_1", root=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_without_a_network_it_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_AT", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(ConnectionError, match=r"could not fetch .*resnet50.*put resnet50-11ad3fa6.pth into"):
        pretrained.load_pretrained("resnet50", root=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_file_that_changed_on_the_disk_is_refused(publisher, tmp_path, monkeypatch):
    folder, _ = publisher
    publish(folder, "squeezenet1_1", monkeypatch)
    pretrained.load_pretrained("squeezenet1_1", root=tmp_path)
    (file,) = (tmp_path / "squeezenet1_1").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"is not what was published.*Remove it to fetch it again"):
        pretrained.load_pretrained("squeezenet1_1", root=tmp_path)


def test_names_that_do_not_fit_are_refused(publisher, tmp_path, monkeypatch):
    folder, _ = publisher
    publish(folder, "squeezenet1_1", monkeypatch, state={"features.0.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(RuntimeError, match="Missing key"):
        pretrained.load_pretrained("squeezenet1_1", root=tmp_path)


def test_an_unknown_name_is_refused_with_the_list():
    with pytest.raises(ValueError, match=r'name must be "vgg16", "googlenet", .*, got .alexnet.'):
        pretrained.load_pretrained("alexnet")


def test_the_published_file_names_carry_their_digest():
    for file, digest in pretrained.PUBLISHED.values():
        assert file.removesuffix(".pth").rpartition("-")[2] == digest[:8]


def test_a_file_that_was_cut_or_changed_anywhere_is_never_loaded(publisher, tmp_path, monkeypatch):
    folder, _ = publisher
    publish(folder, "squeezenet1_1", monkeypatch)
    pretrained.load_pretrained("squeezenet1_1", root=tmp_path)
    (file,) = (tmp_path / "squeezenet1_1").iterdir()
    content = file.read_bytes()
    end = len(content)
    for at in (0, 1, 100, end // 2, end - 1):
        for damaged in (content[:at], content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]):
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"is not what was published: .*Remove it to fetch it again, or put"):
                pretrained.load_pretrained("squeezenet1_1", root=tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(ValueError, match=r"is not what was published: .*Is a directory.*Remove it to fetch it again"):
        pretrained.load_pretrained("squeezenet1_1", root=tmp_path)


def test_an_empty_folder_that_is_there_gets_the_file(publisher, tmp_path, monkeypatch):
    """Who wants to put the file there by hand makes the folder first."""
    folder, _ = publisher
    publish(folder, "squeezenet1_1", monkeypatch)
    (tmp_path / "cache" / "squeezenet1_1").mkdir(parents=True)
    assert not pretrained.load_pretrained("squeezenet1_1", root=tmp_path / "cache").training
    assert len(list((tmp_path / "cache" / "squeezenet1_1").iterdir())) == 1
