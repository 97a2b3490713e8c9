"""What a cold and a warm call of a function cost, stage by stage.

experiment  starts the function under OpenWhisk's contract, again and again, and measures
summary     averages, medians, 99th percentiles, memory, price; the picture (extra ``plots``)
"""

__all__: list[str] = []
