"""The seed experiment: what a cold and a warm call of a function cost, stage by stage.

`experiment` starts the function under OpenWhisk's contract, again and again, and measures;
`summary` has averages, medians and 99th percentiles, the memory to ask for and the price;
`picture` draws the stages as bars, one for cold and one for warm (extra ``plots``).
"""

__all__: list[str] = []
