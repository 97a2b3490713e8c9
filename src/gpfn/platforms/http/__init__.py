"""platforms/http"""
