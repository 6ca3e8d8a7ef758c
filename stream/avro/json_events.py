class JsonReader: 
    def __init__(self, r): pass
