"""Two pictures, as SVG with text as text."""

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np

# The same bytes for the same figures.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "eddy", "font.size": 9, "font.family": "sans-serif"})
COLOURS = {"eddy": "#c1440e", "sub_pca": "#1f4e79", "kmeans": "#4f81bd", "ar": "#7f9f7f", "rolling_z": "#b0a060", "random": "#bbbbbb"}
LABELS = {"eddy": "Eddy", "sub_pca": "Sub-PCA", "kmeans": "k-means", "ar": "AR", "rolling_z": "rolling z", "random": "random"}


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def by_collection(results, path):
    names = [result["collection"] for result in results] + ["mean"]
    figure, axes = plt.subplots(figsize=(max(6.5, 1 + 0.95 * len(names)), 3.4))
    width = 0.84 / len(COLOURS)
    for place, (method, colour) in enumerate(COLOURS.items()):
        values = [result["methods"][method]["vus_pr"] or 0.0 for result in results]
        at = np.arange(len(names)) - 0.42 + (place + 0.5) * width
        axes.bar(at, [*values, np.mean(values)], width, color=colour, label=LABELS[method])
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.axvline(len(results) - 0.5, color="#888888", linewidth=0.6)
    axes.set_ylabel("VUS-PR, mean over series")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=len(COLOURS), frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    save(figure, path)


def by_series(results, peer, path):
    figure, axes = plt.subplots(figsize=(5.6, 4.6))
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.6)
    palette = plt.get_cmap("tab10")
    for place, result in enumerate(results):
        pairs = [
            (one["methods"][peer]["vus_pr"], one["methods"]["eddy"]["vus_pr"])
            for one in result["each_series"]
            if "vus_pr" in one["methods"]["eddy"]
        ]
        axes.scatter(*zip(*pairs), s=14, color=palette(place % 10), label=result["collection"], linewidths=0, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=f"VUS-PR, {LABELS[peer]}", ylabel="VUS-PR, Eddy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save(figure, path)
