"""graphpipe"""
