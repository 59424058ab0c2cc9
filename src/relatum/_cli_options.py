"""Arguments and options of the commands, and how their values are read."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relatum.similarity import Spec

if TYPE_CHECKING:
    from relatum.comparison import Comparison


def _option(*names: str, help: str, metavar: str | None = None, least: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=least)


def _argument(metavar: str, help: str) -> Any:
    return typer.Argument(metavar=metavar, help=help)


Text = str | None
Texts = list[str] | None

# Of several commands
Json = Annotated[bool, _option("--json", help="Print one JSON object on standard output.")]
Similarity = Annotated[
    Texts,
    _option(
        "--similarity",
        metavar="NAME[:KEY=VALUE,...]",
        help="cosine (default), dot, angular, euclidean, manhattan, chebyshev, "
        "geodesic:n_neighbors=5, polynomial:degree=3, quantised. Repeat it for a product of "
        "similarities.",
    ),
]
Center = Annotated[bool, _option("--center", help="Subtract the anchors' mean first.")]
Whiten = Annotated[
    float | None,
    _option("--whiten", metavar="LAMBDA", help="Multiply by (K + λI)^(-1/2); about 0.3 to 1."),
]
Seed = Annotated[int, _option("--seed", least=0, help="Seed of every random choice.")]
Column = Annotated[
    Text, _option("--column", help="Column (or array) of embeddings, where a file has several.")
]
IdColumn = Annotated[
    Text, _option("--id-column", help="Column (or array) of ids; else id, ids or key.")
]
LabelColumn = Annotated[
    Text, _option("--label-column", help="Column of labels in .csv, .tsv and .parquet.")
]

# demo
Folder = Annotated[str, _option("--output", "-o", metavar="FOLDER", help="Where results go.")]
Quick = Annotated[bool, _option("--quick", help="Less of everything; not for its figures.")]
Cache = Annotated[
    Text, _option("--cache", metavar="FOLDER", help="Keeps embeddings; else FOLDER/cache.")
]

# anchors
Source = Annotated[str, _argument("EMB", "Embeddings to choose from.")]
Rows = Annotated[
    str, _option("--output", "-o", metavar="IDX.npy", help="Row numbers of the anchors.")
]
HowMany = Annotated[int, _option("--n-anchors", "-n", least=1, help="How many.")]
Method = Annotated[
    str,
    _option(
        "--method",
        help="uniform, stratified, farthest_point, kmeans, pivoted_cholesky or most_frequent.",
    ),
]
Classes = Annotated[Text, _option("--labels", metavar="FILE", help="Classes, for stratified.")]
Frequencies = Annotated[
    Text, _option("--frequencies", metavar="FILE", help="Counts, for most_frequent.")
]

# project
Projected = Annotated[str, _argument("EMB", "Embeddings to project.")]
Output = Annotated[
    str,
    _option(
        "--output", "-o", metavar="OUT", help="The result: file, folder (no suffix), .lance or URL."
    ),
]
Memory = Annotated[str, _option("--memory", metavar="BYTES", help="Memory to use for rows.")]
Dtype = Annotated[Text, _option("--dtype", help="float16, bfloat16, float32 or float64.")]
EngineName = Annotated[str, _option("--engine", help="threads, or ray (extra ray).")]
Workers = Annotated[int | None, _option("--workers", least=1, help="Processes of --engine ray.")]
Device = Annotated[Text, _option("--device", help="Compute with torch there, such as cuda.")]
Restart = Annotated[bool, _option("--restart", help="Begin anew what was interrupted.")]
DryRun = Annotated[bool, _option("--dry-run", help="Say how much there is to do; do nothing.")]
Onto = Annotated[
    Text,
    _option(
        "--anchors",
        metavar="FILE",
        help="Row numbers of EMB (1-D .npy, .txt), or embeddings of the anchors.",
    ),
]
Map = Annotated[
    Text, _option("--map", metavar="MAP", help="A projection that --save wrote, instead.")
]
Precision = Annotated[Text, _option("--precision", help="float64, float32 or bfloat16.")]
Save = Annotated[
    Text, _option("--save", metavar="MAP", help="Also save the projection (.safetensors).")
]
Encoder = Annotated[Text, _option("--encoder", help="Name of the encoder, for --save.")]
Revision = Annotated[Text, _option("--encoder-revision", help="Its revision, for --save.")]

# compare
SpaceA = Annotated[str, _argument("A", "Embeddings of the items in one encoder.")]
SpaceB = Annotated[str, _argument("B", "The same items in the other.")]
AnchorsA = Annotated[
    Text,
    _option(
        "--anchors",
        metavar="FILE",
        help="Row numbers of A; or, with --anchors-b, embeddings. Else drawn at random.",
    ),
]
AnchorsB = Annotated[
    Text, _option("--anchors-b", metavar="FILE", help="The same anchors in the encoder of B.")
]
Neighbours = Annotated[int, _option("-k", least=1, help="Neighbours to look at.")]
Drawn = Annotated[
    int, _option("--n-anchors", "-n", least=2, help="How many are drawn, without --anchors.")
]
Samples = Annotated[int, _option("--n-samples", least=0, help="Rows to compare; 0 is all.")]
Scored = Annotated[int, _option("--n-samples", least=0, help="Items to score; 0 is all.")]
Measures = Annotated[
    Texts, _option("--measure", metavar="NAME", help="Repeat it for several; else all.")
]
AllRows = Annotated[bool, _option("--all-rows", help="Add CKA, CCA and Procrustes over all rows.")]
Gates = Annotated[
    Texts, _option("--gate", metavar="MEASURE=VALUE", help="Exit with 1 if it is less close.")
]
Html = Annotated[Text, _option("--html", metavar="FILE", help="Also write a report.")]
Labels = Annotated[Text, _option("--labels", metavar="FILE", help="Labels of A, for --html.")]

# stitch
TrainX = Annotated[str, _option("--train-x", metavar="A", help="Training items in one encoder.")]
TrainY = Annotated[str, _option("--train-y", metavar="Y", help="Their labels.")]
TestX = Annotated[str, _option("--test-x", metavar="B", help="Test items in the other encoder.")]
TestY = Annotated[str, _option("--test-y", metavar="Y2", help="Their labels.")]
TrainAnchors = Annotated[
    str, _option("--anchors-train", metavar="AA", help="Anchors in the encoder of A.")
]
TestAnchors = Annotated[
    str, _option("--anchors-test", metavar="BA", help="The same anchors in that of B.")
]
NativeX = Annotated[
    Text,
    _option(
        "--native-x",
        metavar="FILE",
        help="Test items in the encoder of A; else native is cross-validated on A.",
    ),
]
Head = Annotated[str, _option("--head", help="ridge or logistic.")]
Normalize = Annotated[
    str, _option("--normalize", help="Ahead of the head: none, inductive or transductive.")
]
MinRetention = Annotated[
    float | None,
    _option("--min-retention", metavar="R", help="Exit with 1 if retention is lower."),
]

# fit, translate, search, evaluate
SourceSpace = Annotated[str, _argument("SOURCE", "Embeddings to translate from.")]
TargetSpace = Annotated[str, _argument("TARGET", "The same items in the encoder to translate to.")]
LeftOut = Annotated[
    Text,
    _option("--anchors", metavar="PAIRS", help="Items to leave out: what fit was given."),
]
SeedPairs = Annotated[
    Text,
    _option(
        "--anchors",
        metavar="PAIRS",
        help="Pairs of SOURCE and TARGET that are known, 5 or more: ids or row numbers (.csv, .tsv "
        "or .npy of two columns, no heading). Else none is known.",
    ),
]
GrownPairs = Annotated[
    str,
    _option("--output", "-o", metavar="PAIRS", help="Pairs to write: .csv, .tsv or .npy."),
]
Wrong = Annotated[
    float,
    _option("--wrong", help="Share of wrong pairs that is allowed, as estimated; 1: all pairs."),
]
Pairs = Annotated[
    Text,
    _option(
        "--anchors",
        metavar="PAIRS",
        help="Row numbers of SOURCE; or pairs of SOURCE and TARGET, ids or row numbers (.csv, "
        ".tsv or .npy of two columns, no heading). Else every item that both have.",
    ),
]
SaveMap = Annotated[str, _option("--output", "-o", metavar="MAP", help="The map (.safetensors).")]
TranslationMethod = Annotated[
    str,
    _option(
        "--method",
        help="auto, mean_shift, procrustes, scaled_procrustes, ridge, affine, low_rank, relative, "
        "whitened, cca, procrustes_kernel, spectral, transport or common-space.",
    ),
]
Criterion = Annotated[
    str, _option("--criterion", help="What auto chooses by: retrieval or cosine.")
]
NoRescale = Annotated[
    bool, _option("--no-rescale", help="Leave the length of rows as regression gives it.")
]
SourceEncoder = Annotated[Text, _option("--encoder", help="Name of SOURCE's encoder.")]
SourceRevision = Annotated[Text, _option("--encoder-revision", help="Its revision.")]
TargetEncoder = Annotated[Text, _option("--target-encoder", help="Name of TARGET's encoder.")]
TargetRevision = Annotated[Text, _option("--target-revision", help="Its revision.")]
LeastRetention = Annotated[
    float | None,
    _option(
        "--min-retention",
        metavar="R",
        help="Exit with 1 if predicted R@10 is lower; the map is written.",
    ),
]
EncoderOf = Annotated[
    Text,
    _option(
        "--encoder",
        help="Name of the encoder that the embeddings are from. Refused where MAP was made for "
        "another.",
    ),
]
Force = Annotated[bool, _option("--force", help="Use MAP on another encoder's embeddings.")]
ToTranslate = Annotated[str, _argument("EMB", "Embeddings to translate.")]
TheMap = Annotated[str, _option("--map", metavar="MAP", help="What relatum fit wrote.")]
Inverse = Annotated[bool, _option("--inverse", help="From the target's space to the source's.")]
OfTarget = Annotated[bool, _option("--of-target", help="EMB are the target's, for a common space.")]
Queries = Annotated[str, _argument("QUERIES", "Embeddings to search with.")]
Index = Annotated[str, _argument("INDEX", "Embeddings to search in.")]
SearchMap = Annotated[
    Text,
    _option(
        "--map",
        metavar="MAP",
        help="Brings QUERIES into INDEX's space (relatum fit), or into a relative space "
        "(relatum project --save). Else they share one.",
    ),
]
IndexMap = Annotated[
    Text, _option("--index-map", metavar="MAP", help="INDEX's projection into that relative space.")
]
Correction = Annotated[
    Text,
    _option("--correction", help="Against hubs: softmax or csls. Takes --background."),
]
CorrectionKind = Annotated[str, _option("--correction", help="Against hubs: softmax or csls.")]
Background = Annotated[
    Text,
    _option(
        "--background",
        metavar="FILE",
        help="What queries look like, for --correction: embeddings of QUERIES' encoder.",
    ),
]
SavePenalty = Annotated[
    Text,
    _option(
        "--save-penalty", metavar="FILE", help="Keep what --correction computed (.safetensors)."
    ),
]
Penalty = Annotated[
    Text, _option("--penalty", metavar="FILE", help="What --save-penalty kept, instead.")
]
Found = Annotated[
    Text, _option("--output", "-o", metavar="OUT", help="All that was found: .csv or .parquet.")
]
MapFile = Annotated[str, _argument("MAP", "What relatum fit wrote.")]
MinRecall = Annotated[
    float | None,
    _option("--min-recall", metavar="R", help="Exit with 1 if R@1 is lower."),
]

# reproduce
Experiment = Annotated[Text, typer.Argument(metavar="[ID]", help="table-1, figure-3, ...")]
ListAll = Annotated[bool, _option("--list", help="List every table and figure, and end.")]
Preset = Annotated[
    str,
    _option(
        "--preset",
        help="offline: data and encoders that install or lie in the data folder; paper: the "
        "paper's own.",
    ),
]
Small = Annotated[
    bool, _option("--small", help="A minute instead of hours; its numbers measure nothing.")
]
StageNames = Annotated[
    Texts, _option("--stage", metavar="NAME", help="Only this stage of it; may be repeated.")
]
DataDir = Annotated[
    Text,
    _option("--data-dir", metavar="FOLDER", help="Data sets; else $RELATUM_DATA_DIR."),
]
Results = Annotated[
    str,
    _option("--results", metavar="FOLDER", help="Where results are kept, and read instead of run."),
]
WorkDir = Annotated[
    str, _option("--work-dir", metavar="FOLDER", help="Encoded data and checkpoints.")
]
Logger = Annotated[Text, _option("--logger", help="wandb or tensorboard, for trainings.")]

# serve
Served = Annotated[str, _argument("MAP", "A map that relatum fit wrote.")]
Host = Annotated[str, _option("--host", help="Address to listen at.")]
Port = Annotated[int, _option("--port", least=0, help="Its port; 0 takes a free one.")]
UnitRows = Annotated[bool, _option("--normalize", help="Answer with vectors of norm 1.")]
MaxRows = Annotated[int, _option("--max-rows", least=1, help="Vectors in one request.")]
MaxBytes = Annotated[str, _option("--max-bytes", metavar="BYTES", help="Size of one request.")]

# migrate
TheStore = Annotated[
    str,
    _argument("STORE", "SCHEME:PLACE#NAME: lancedb, postgresql, qdrant, chroma or parquet."),
]
PlanFile = Annotated[str, _argument("PLAN", "What relatum migrate plan wrote.")]
PlanOutput = Annotated[str, _option("--output", "-o", metavar="PLAN", help="The plan (.toml).")]
ToEncoder = Annotated[str, _option("--to-encoder", help="Name of the encoder to go to.")]
ToRevision = Annotated[str, _option("--to-revision", help="Its revision.")]
OldEncoder = Annotated[str, _option("--from-encoder", help="Name of the encoder to leave.")]
OldRevision = Annotated[str, _option("--from-revision", help="Its revision.")]
Embed = Annotated[
    str,
    _option(
        "--embed",
        help="What makes new vectors: a command (JSON strings on standard input, .npy on standard "
        "output), module:function, or a file of vectors with ids.",
    ),
]
TextField = Annotated[str, _option("--text", metavar="FIELD", help="Field that is embedded.")]
VectorField = Annotated[
    str, _option("--vector", metavar="FIELD", help="Vectors, where there are several.")
]
IdField = Annotated[str, _option("--id", metavar="FIELD", help="Ids; else key, id, ids or _id.")]
ShadowName = Annotated[Text, _option("--shadow", metavar="NAME", help="Table of new vectors.")]
AliasName = Annotated[Text, _option("--alias", metavar="NAME", help="What is switched.")]
Anchors = Annotated[
    int | None, _option("--n-anchors", "-n", least=50, help="Items to embed; else as needed.")
]
PlanRetention = Annotated[
    float,
    _option("--min-retention", metavar="R", help="Least share of items that find themselves."),
]
Pilot = Annotated[int, _option("--pilot", least=50, help="Items to embed for the plan.")]
Price = Annotated[
    float, _option("--price-per-1000", help="What embedding 1,000 items costs, for the plan.")
]
Anew = Annotated[bool, _option("--restart", help="Remove the shadow and the map first.")]
Segment = Annotated[Text, _option("--segment", metavar="FIELD", help="Tell its values apart.")]
Thresholds = Annotated[
    list[float] | None,
    _option("--threshold", metavar="COSINE", help="An old one, to be told anew; repeat it."),
]
Relevance = Annotated[
    Text,
    _option(
        "--relevance",
        metavar="FILE",
        help='JSON lines {"query": text, "relevant": {id: grade}}, for nDCG.',
    ),
]
ForceSwitch = Annotated[bool, _option("--force", help="Switch though it was not verified.")]
HowManyItems = Annotated[int, _option("-n", least=0, help="Items to embed, beside the anchors.")]
Queried = Annotated[
    Text, _option("--queried", metavar="FILE", help="Lines of id,count: what is asked for most.")
]

# info
File = Annotated[str, _argument("FILE", "A saved object, embeddings or row numbers.")]


def parse_similarity(values: Texts) -> Spec | list[Spec]:
    """Read ``cosine`` or ``geodesic:n_neighbors=5``; several are a product."""
    specs = [_parse_spec(value) for value in values or ["cosine"]]
    return specs[0] if len(specs) == 1 else specs


def _parse_spec(text: str) -> Spec:
    name, colon, rest = text.partition(":")
    if not colon:
        return name
    parameters: dict[str, Any] = {}
    for item in rest.split(","):
        key, _, value = item.partition("=")
        if not (key.strip() and value.strip()):
            raise ValueError(
                f"--similarity is {text!r}; expected a name, or name:key=value,key=value"
            )
        parameters[key.strip()] = _literal(value.strip())
    return name, parameters


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parse_gates(values: Texts) -> dict[str, float]:
    """Read the ``MEASURE=VALUE`` pairs of ``--gate``."""
    from relatum._validation import check_choice
    from relatum.comparison import MEASURES

    gates = {}
    for text in values or []:
        name, _, value = text.partition("=")
        check_choice(name.strip(), "--gate", MEASURES)
        try:
            gates[name.strip()] = float(value)
        except ValueError:
            gates[name.strip()] = math.nan
        if math.isnan(gates[name.strip()]):
            raise ValueError(f"--gate is {text!r}; expected MEASURE=NUMBER")
    return gates


def failed_gates(gates: dict[str, float], found: Comparison) -> list[str]:
    """Say of each gate that the comparison does not pass what it found, of all rows if it can."""
    failed = []
    for name, bound in gates.items():
        value = found.all_rows.get(name, found[name].value)
        passed = value >= bound if found[name].higher_is_closer else value <= bound
        if not passed:  # NaN fails
            failed.append(f"{name} is {value:.3f}, the gate {bound:g}")
    return failed
