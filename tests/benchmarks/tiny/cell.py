"""Runs `benchmarks.cell_process` on the tiny data."""

import dataset as tiny

from benchmarks import cell_process

if __name__ == "__main__":

    def load(name, **options):
        tiny.misbehave()
        return tiny.load(name, **options)

    tiny.publish()
    fit = cell_process.fit
    cell_process.load_dataset = load
    cell_process.fit = lambda *arguments, **options: fit(*arguments, **tiny.slowed(options))
    cell_process.main()
