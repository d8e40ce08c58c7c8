"""The files of Keras: .keras, and .weights.h5, which is read without Keras."""
