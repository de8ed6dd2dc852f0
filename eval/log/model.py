"""A model of the reward: what an action earns at a position in a context, shown or not.

Means that back off. The mean reward of an action at a position in a context is shrunk towards that of the action at the
position, this towards that of the action, this towards the mean of all, and each as much as the data ask for: by
Bühlmann and Straub's credibility, z = n / (n + within / between), with the variances within and between the groups
estimated from their sums of squares (Bühlmann & Straub, "Glaubwürdigkeit für Schadensätze", 1970). That needs no
tuning, holds for clicks as for any other reward, never leaves the range of the rewards, and takes a few passes over
the log, which makes it cheap enough to fit anew in each bootstrap sample.
"""

from __future__ import annotations

import numpy as np

from eval.log.labels import FloatArray, IntArray, combine
from eval.log.table import Log
from eval.log.target import Target


class RewardModel:
    """The model of one log, cross-fitted: what it says of a row was learned without the fold that the row is in.

    Cross-fitting keeps the doubly robust estimate unbiased: the model must not have seen the click that it corrects
    (Chernozhukov et al., "Double/debiased machine learning", 2018). Rows of one page are in one fold.

    Cells are what a mean is taken of. A row is in one cell of each level; those of the finest level are an action at a
    position in a context. All arrays over cells have the shape (cells, folds).
    """

    def __init__(self, log: Log, target: Target, folds: int, seed: int) -> None:
        """Prepare for a log of n rows and at least two pages. `folds` >= 2 is lowered to the number of pages."""
        _, page = np.unique(log.page, return_inverse=True)
        pages = int(page.max()) + 1
        self.folds = min(folds, pages)
        self._fold = (np.random.default_rng(seed).permutation(pages) % self.folds)[page]
        self._reward = log.reward
        labels = [log.position.codes, *(column.codes for column in log.context.values())]
        self._place = combine(target.situation, *labels)  # where the row is, whatever was shown there
        _, first = np.unique(self._place, return_index=True)
        self._owner, entry = target.entries(target.situation[first])  # the place of each of the policy's entries
        self._probability = target.probability[entry]
        cells, self._parents = _levels(
            (log.action.codes, *labels), (target.action[entry], *(codes[first][self._owner] for codes in labels))
        )
        self._cell, self._entry_cell = cells[: len(log)], cells[len(log) :]

    def fit(self) -> tuple[FloatArray, FloatArray]:
        """Fit to the log.

        Returns, both of shape (n,), what the target policy is expected to earn at each row, that is the mean of q(x, a)
        over the actions a by the target's probabilities, and what the logged action was, q(x, a logged).
        """
        means = self._means(np.ones(len(self._reward)))
        return self._expected(means)[self._place, self._fold], means[self._cell, self._fold]

    def value(self, counts: FloatArray) -> float:
        """The direct method's value after fitting to a bootstrap sample with row i `counts[i]` times, shape (n,)."""
        expected = self._expected(self._means(counts))
        rows = self._sums(self._place, counts, len(expected))
        return float((rows * expected).sum() / counts.sum())

    def _expected(self, means: FloatArray) -> FloatArray:
        """The mean over the policy's entries at each place: shape (places, folds)."""
        earned = means[self._entry_cell] * self._probability[:, None]
        return _up(earned, self._owner, int(self._owner[-1]) + 1)

    def _means(self, counts: FloatArray) -> FloatArray:
        """The shrunken means of the finest cells, in each column without its own fold."""
        weights = (counts, counts * self._reward)
        sums = [_outside(self._sums(self._cell, weight, len(self._parents[-1]))) for weight in weights]
        levels = [_Level(*sums)]
        for parent in reversed(self._parents):
            levels.append(levels[-1].above(parent))
        squares = _outside(self._sums(np.zeros_like(self._cell), counts * self._reward**2, 1))[0]
        top = levels.pop()
        means = np.where(top.rows > 0, top.mean, counts @ self._reward / counts.sum())
        for parent in self._parents:
            level = levels.pop()
            z = level.credibility(top, parent, squares)
            above = means[parent]
            means = above + z * (level.mean - above)
            top = level
        return means

    def _sums(self, cell: IntArray, weight: FloatArray, size: int) -> FloatArray:
        """Sums of the rows' weights by cell and fold."""
        return _sums(cell * self.folds + self._fold, weight, size, self.folds)


def _outside(inside: FloatArray) -> FloatArray:
    """From sums within each fold those over all other folds."""
    outside: FloatArray = inside.sum(axis=1, keepdims=True) - inside
    return outside


def _up(values: FloatArray, parent: IntArray, size: int) -> FloatArray:
    """Sums over the cells that have the same parent: shape (size, folds)."""
    folds = values.shape[1]
    flat = (parent[:, None] * folds + np.arange(folds)).ravel()
    return _sums(flat, values.ravel(), size, folds)


def _sums(place: IntArray, weight: FloatArray, size: int, folds: int) -> FloatArray:
    """Sums by place in an array of shape (size, folds), as if it were flat."""
    sums: FloatArray = np.bincount(place, weights=weight, minlength=size * folds).astype(np.float64, copy=False)
    return sums.reshape(size, folds)


def _levels(rows: tuple[IntArray, ...], entries: tuple[IntArray, ...]) -> tuple[IntArray, list[IntArray]]:
    """Cells from coarse to fine: all together, then told apart by one more of the columns each.

    Returns the finest cell of each row and after them of each entry, and for each level but the coarsest, in which
    cell of the level above each cell is.
    """
    cell = np.zeros(len(rows[0]) + len(entries[0]), dtype=np.int64)
    parents = []
    for ours, theirs in zip(rows, entries, strict=True):
        finer = combine(cell, np.concatenate((ours, theirs)))
        parents.append(cell[np.unique(finer, return_index=True)[1]])
        cell = finer
    return cell, parents


class _Level:
    """The raw sums of one level of cells: rows, total reward, and mean reward where there is a row."""

    def __init__(self, rows: FloatArray, total: FloatArray) -> None:
        self.rows, self.total = rows, total
        self.mean = _ratio(total, rows)
        self.explained = (total * self.mean).sum(axis=0)  # of the sum of squared rewards, by the cells' means
        self.used = np.count_nonzero(rows, axis=0).astype(np.float64)

    def above(self, parent: IntArray) -> _Level:
        size = int(parent.max()) + 1
        return _Level(_up(self.rows, parent, size), _up(self.total, parent, size))

    def credibility(self, above: _Level, parent: IntArray, squares: FloatArray) -> FloatArray:
        """How much to trust each cell's own mean instead of the one above it, in [0, 1]: shape (cells, folds).

        Both variances are estimated without bias: the one within the cells from what their means leave of the sum of
        squared rewards, `squares` of shape (folds,), the one between them from what they explain beyond those above.
        """
        rows = self.rows.sum(axis=0)
        within = np.maximum(_ratio(squares - self.explained, rows - self.used), 0.0)
        spread = self.explained - above.explained - (self.used - above.used) * within
        share = _ratio(_up(self.rows**2, parent, len(above.rows)), above.rows).sum(axis=0)
        # Where every cell has a single row, chance and difference cannot be told apart: no trust.
        between = np.where(rows > self.used, np.maximum(_ratio(spread, rows - share), 0.0), 0.0)
        return _ratio(self.rows * between, self.rows * between + within)


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """top / bottom, and 0 where the bottom is not positive."""
    return np.divide(top, bottom, out=np.zeros(np.broadcast_shapes(top.shape, bottom.shape)), where=bottom > 0)
