"""What is wrong with a Chinese translation of an English message: what is lost, typography, words to avoid."""

import re
from collections import Counter

from markdown_it import MarkdownIt

HAN = r"\u3400-\u9fff"
ROLE = re.compile(r"\{([\w:.+-]+)\}`([^`]*)`")
WORDED = ("index", "term", "doc", "ref")  # roles whose words stand on the page
CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
MATHS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]*)\)")
PLACE = re.compile(r"\{\d+\}")
SENTENCE = re.compile(r"(?<=[.?!] )(\{\d+\})(?= [A-Z]|$)")  # a place that holds one, not a number
NUMBER = re.compile(
    r"(?<![A-Za-z_\d.])(\d+(?:,\d{3})*(?:\.\d+)?)(?:\s?(million|billion|thousand|万亿|亿|万|千))?(?![A-Za-z_\d])"
)
TIMES = {"million": 1e6, "billion": 1e9, "thousand": 1e3, "万亿": 1e12, "亿": 1e8, "万": 1e4, "千": 1e3, "": 1}
MARKDOWN = MarkdownIt("commonmark")

# English → what its translation holds, one of these: one word for one term.
TERMS = {
    r"receptive fields?": ("感受野",),
    r"dilated convolutions?": ("膨胀卷积",),
    r"deformable convolutions?": ("可变形卷积",),
    r"depthwise separable": ("深度可分离",),
    r"depthwise (?:convolution|layer|kernel)s?": ("逐通道",),
    r"separable": ("可分离",),
    r"feature maps?": ("特征图",),
    r"strides?": ("步幅",),
    r"padding": ("填充", "same", "valid"),
    r"pooling": ("池化",),
    r"fine-tun\w+": ("微调",),
    r"transfer learning": ("迁移学习",),
    r"batch norm\w*": ("批归一化", "BN"),
    r"transposed convolutions?": ("转置卷积",),
    r"grouped convolutions?": ("分组卷积",),
    r"bottlenecks?": ("瓶颈", "Bottleneck"),
    r"shortcuts?": ("捷径",),
    r"non-local": ("非局部", "Non-local"),
    r"offsets?": ("偏移",),
    r"channels?": ("通道", "`channels", "C"),
    r"multiply-adds?": ("乘加",),
    r"learning rates?": ("学习率",),
    r"claims?": ("论断", "声称"),
    r"seeds?": ("种子",),
}
# Words that have another one in this book.
AVOIDED = re.findall(
    r"\S+",
    """
    反卷积 解卷积 感受域 接受域 步长 过滤器 抽头 汇聚 特征映射
    扩张卷积 频道 精调 转移学习 权值 批量归一化 批标准化 批规范化 批量规范化
    深度可分卷积 可形变 膨胀系数 扩张率 组卷积层 跳跃连接 快捷连接 数据集成 小部件
    显著 众所周知 显而易见 持平
""",
)
ALLOWED = {
    "解卷积": "分解卷积",
    "步长": "学习率 优化器",
    "转移学习": "原讲义",
    "显著": "显著性检验 不写",
    "组卷积层": "分组卷积层",
}


def faults(english: str, chinese: str) -> list[str]:
    """What a reader of `chinese` would miss or stumble over; nothing for a good translation."""
    found = []
    for what, parts in (
        ("places", PLACE.findall),
        ("roles", _roles),
        ("code", _code),
        ("formulas", _formulas),
        ("links", lambda text: [mark + target for mark, _, target in LINK.findall(ROLE.sub("", text))]),
    ):
        old, new = Counter(parts(english)), Counter(parts(chinese))
        if what in ("places", "formulas"):  # they may be named more often
            old, new = Counter(set(old)), Counter(set(new))
        if old != new:
            found.append(f"{what}: {sorted((old - new).elements())} lost, {sorted((new - old).elements())} new")
    lost = Counter(_numbers(_bare(english))) - Counter(_numbers(_bare(chinese)))
    if lost:
        found.append(f"numbers lost: {sorted(lost)}")
    if _stars(chinese) > _stars(english):
        found.append("a star is shown: **words** before or after letters or punctuation need a blank outside")
    if re.search(f"[{HAN}]", chinese):
        found += _typography(english, chinese)
        found += _words(english, chinese)
    elif len(re.findall(r"\b[a-z]{3,}\b", _bare(english))) > 2:
        found.append("not translated")
    return found


def _roles(text):
    for role, content in ROLE.findall(text):
        if role == "index":  # the entry is in the language of the page
            yield role
            continue
        target = re.search(r"<([^>]+)>\s*$", content)
        yield f"{role} {target[1] if target else content}"


def _code(text):
    return [content for _, content in CODE.findall(MATHS.sub("", ROLE.sub("", text)))]


def _formulas(text):
    text = CODE.sub("", ROLE.sub("", text))
    return [re.sub(r"\\text\{[^}]*\}|[.,;\s]+", "", formula) for formula in MATHS.findall(text)]


def _bare(text):
    """A text without what is the same in both languages; a letter stands for each of it."""
    text = ROLE.sub(lambda role: re.sub(r"\s*<[^>]*>", "", role[2]) if role[1] in WORDED else "X", text)
    if text.startswith("\n"):  # a formula of its own
        return "\n".join(re.findall(r"\\text\{([^}]*)\}", text))
    text = MATHS.sub("X", CODE.sub("X", text))
    return LINK.sub(lambda link: link[2], text)


def _numbers(text):
    for number, unit in NUMBER.findall(PLACE.sub("", text)):
        yield round(float(number.replace(",", "")) * TIMES[unit], 6)


def _stars(text):
    html = re.sub(r"<[^>]*>", "", MARKDOWN.renderInline(MATHS.sub("X", text)))
    return html.count("*")


def _typography(english, chinese):
    sentences = set(SENTENCE.findall(english))
    text = PLACE.sub(lambda place: "\ufffc" if place[0] in sentences else "0", _bare(chinese)).replace("*", "")
    for pattern, says in (
        (f"[{HAN}][,;:?!.(]|[,;:?!)(][{HAN}]", "half-width punctuation"),
        (f"[{HAN}][A-Za-z0-9]|[A-Za-z0-9][{HAN}]", "no blank between Chinese and other letters"),
        ("[，。；：？！、（）“”] +[^\\s]|[^\\s|] +[，。；：？！、（）“”]", "a blank beside full-width punctuation"),
        (f"[{HAN}][\"']|[\"'][{HAN}]|[「」『』]", "quotation marks: “ ”"),
        (f"[{HAN}] +[{HAN}]", "a blank between Chinese words"),
        (r"\.\.\.|。。", "an ellipsis is ……"),
    ):
        for place in re.finditer(pattern, text):
            yield f"{says}: …{text[max(0, place.start() - 6) : place.end() + 6]}…"


def _words(english, chinese):
    bare = _bare(english)
    for word in AVOIDED:
        if word in chinese and not any(other in chinese for other in ALLOWED.get(word, "").split()):
            yield f"{word} has another word in this book"
    for term, words in TERMS.items():
        if re.search(rf"\b{term}\b", bare, re.IGNORECASE) and not any(word in chinese for word in words):
            yield f"{term.replace('s?', '')} is {' or '.join(words)}"
