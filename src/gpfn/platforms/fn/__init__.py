"""platforms/fn"""
