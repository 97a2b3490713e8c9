"""TensorFlow's operators that an uploaded model may have, by name.

A TensorFlow graph is a program: it can read and write files, run Python, talk to other
machines and end the process. So what is not in these lists is refused. They were made from
the registry of TensorFlow 2.21 by hand: what computes, keeps variables, tables and lists, or
calls other parts of the graph is in; so is not what reaches out of the graph (files, datasets,
summaries that are written, sessions, queues, other processes and machines, Python), what ends
or stops the process, what is compiled from code in an attribute (XLA's), what is for training
at scale, and what TensorFlow has for its own tests or passes.

`FILE_OPERATORS` are the ones by which a SavedModel keeps and loads its own files. Where they
may stand is :mod:`gpfn.models.tf_guard`'s business.
"""

from types import MappingProxyType
from typing import NamedTuple

__all__ = ["ALLOWED", "FILE_OPERATORS", "FileOperator", "advice"]

_NAMES = {
    "graph": """
        Assert AudioSummary AudioSummaryV2 CheckNumerics CheckNumericsV2 Const ControlTrigger
        DeepCopy DeviceIndex Empty EmptyTensorList EmptyTensorMap EnsureShape FakeParam
        GuaranteeConst HistogramSummary HostConst Identity IdentityN ImageSummary
        IsTensorFloat32Enabled MergeSummary NoOp Placeholder PlaceholderV2 PlaceholderWithDefault
        PreventGradient ScalarSummary Snapshot StopGradient TensorSummary TensorSummaryV2 Timestamp
    """,
    "flow": """
        Case Enter Exit For If LoopCond Merge NextIteration PartitionedCall RefEnter RefExit
        RefMerge RefNextIteration RefSwitch StatefulPartitionedCall StatelessCase StatelessIf
        StatelessWhile Switch While
    """,
    "variables": """
        ApplyAdaMax ApplyAdadelta ApplyAdagrad ApplyAdagradDA ApplyAdagradV2 ApplyAdam ApplyAddSign
        ApplyCenteredRMSProp ApplyFtrl ApplyFtrlV2 ApplyGradientDescent ApplyMomentum ApplyPowerSign
        ApplyProximalAdagrad ApplyProximalGradientDescent ApplyRMSProp Assign AssignAdd
        AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp CountUpTo
        DestroyResourceOp DestroyTemporaryVariable DisableCopyOnRead IsVariableInitialized
        ReadVariableOp RefIdentity RefSelect ResourceApplyAdaMax ResourceApplyAdadelta
        ResourceApplyAdagrad ResourceApplyAdagradDA ResourceApplyAdagradV2 ResourceApplyAdam
        ResourceApplyAdamWithAmsgrad ResourceApplyAddSign ResourceApplyCenteredRMSProp
        ResourceApplyFtrl ResourceApplyFtrlV2 ResourceApplyGradientDescent
        ResourceApplyKerasMomentum ResourceApplyMomentum ResourceApplyPowerSign
        ResourceApplyProximalAdagrad ResourceApplyProximalGradientDescent ResourceApplyRMSProp
        ResourceCountUpTo ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterDiv
        ResourceScatterMax ResourceScatterMin ResourceScatterMul ResourceScatterNdAdd
        ResourceScatterNdMax ResourceScatterNdMin ResourceScatterNdSub ResourceScatterNdUpdate
        ResourceScatterSub ResourceScatterUpdate ResourceStridedSliceAssign ScatterAdd ScatterDiv
        ScatterMax ScatterMin ScatterMul ScatterNdAdd ScatterNdMax ScatterNdMin
        ScatterNdNonAliasingAdd ScatterNdSub ScatterNdUpdate ScatterSub ScatterUpdate
        StridedSliceAssign TemporaryVariable VarHandleOp VarIsInitializedOp Variable VariableShape
        VariableV2
    """,
    "tables": """
        AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable
        AnonymousMutableHashTableOfTensors HashTable HashTableV2 InitializeTable InitializeTableV2
        LookupTableExport LookupTableExportV2 LookupTableFind LookupTableFindV2 LookupTableImport
        LookupTableImportV2 LookupTableInsert LookupTableInsertV2 LookupTableRemoveV2
        LookupTableSize LookupTableSizeV2 MutableDenseHashTable MutableDenseHashTableV2
        MutableHashTable MutableHashTableOfTensors MutableHashTableOfTensorsV2 MutableHashTableV2
    """,
    "lists": """
        TensorArray TensorArrayClose TensorArrayCloseV2 TensorArrayCloseV3 TensorArrayConcat
        TensorArrayConcatV2 TensorArrayConcatV3 TensorArrayGather TensorArrayGatherV2
        TensorArrayGatherV3 TensorArrayGrad TensorArrayGradV2 TensorArrayGradV3
        TensorArrayGradWithShape TensorArrayPack TensorArrayRead TensorArrayReadV2 TensorArrayReadV3
        TensorArrayScatter TensorArrayScatterV2 TensorArrayScatterV3 TensorArraySize
        TensorArraySizeV2 TensorArraySizeV3 TensorArraySplit TensorArraySplitV2 TensorArraySplitV3
        TensorArrayUnpack TensorArrayV2 TensorArrayV3 TensorArrayWrite TensorArrayWriteV2
        TensorArrayWriteV3 TensorListConcat TensorListConcatLists TensorListConcatV2
        TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem
        TensorListLength TensorListPopBack TensorListPushBack TensorListPushBackBatch
        TensorListReserve TensorListResize TensorListScatter TensorListScatterIntoExistingList
        TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack TensorMapErase
        TensorMapHasKey TensorMapInsert TensorMapLookup TensorMapSize TensorMapStackKeys
    """,
    "elements": """
        Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin
        Asin Asinh Atan Atan2 Atanh BesselI0 BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0
        BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc Bitcast BitwiseAnd BitwiseOr
        BitwiseXor Bucketize Cast Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh Cross Cumprod
        Cumsum CumulativeLogsumexp Dawsn Digamma Div DivNoNan Elu Equal Erf Erfc Erfinv
        EuclideanNorm Exp Expint Expm1 Floor FloorDiv FloorMod FresnelCos FresnelSin Greater
        GreaterEqual Igamma IgammaGradA Igammac Imag Inv Invert IsFinite IsInf IsNan L2Loss
        LeakyRelu LeftShift Less LessEqual Lgamma Log Log1p LogSoftmax LogicalAnd LogicalNot
        LogicalOr Max Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual
        Polygamma PopulationCount Pow Prod Real RealDiv Reciprocal Relu Relu6 RightShift Rint Round
        Rsqrt Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Spence Sqrt Square
        SquaredDifference Sub Sum Tan Tanh ToBool TruncateDiv TruncateMod Xdivy Xlog1py Xlogy Zeta
    """,
    "shapes": """
        ApproxTopK BatchToSpace BatchToSpaceND Bincount BroadcastArgs BroadcastGradientArgs
        BroadcastTo Concat ConcatOffset ConcatV2 ConjugateTranspose CopyOp DataFormatDimMap
        DataFormatVecPermute DenseBincount DepthToSpace Diag DiagPart DynamicPartition DynamicStitch
        ExpandDims ExtractImagePatches ExtractVolumePatches Fill Gather GatherNd GatherV2
        HistogramFixedWidth InTopK InTopKV2 InplaceAdd InplaceSub InplaceUpdate InvertPermutation
        KthOrderStatistic LinSpace ListDiff LowerBound MakeUnique MirrorPad NthElement OneHot
        OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Range Rank Reshape Reverse
        ReverseSequence ReverseV2 Roll ScatterNd Select SelectV2 Shape ShapeN Size Slice
        SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice TensorScatterAdd
        TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate
        TensorStridedSliceUpdate Tile TopK TopKUnique TopKV2 TopKWithUnique Transpose Unique
        UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound Where ZerosLike
    """,
    "segments": """
        SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2 SegmentProd SegmentProdV2
        SegmentSum SegmentSumV2 SparseSegmentMean SparseSegmentMeanGrad SparseSegmentMeanGradV2
        SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNGrad
        SparseSegmentSqrtNGradV2 SparseSegmentSqrtNWithNumSegments SparseSegmentSum
        SparseSegmentSumGrad SparseSegmentSumGradV2 SparseSegmentSumWithNumSegments
        UnsortedSegmentJoin UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
        UnsortedSegmentSum
    """,
    "linear algebra": """
        BandedTriangularSolve BatchCholesky BatchCholeskyGrad BatchMatMul BatchMatMulV2
        BatchMatMulV3 BatchMatrixBandPart BatchMatrixDeterminant BatchMatrixDiag BatchMatrixDiagPart
        BatchMatrixInverse BatchMatrixSetDiag BatchMatrixSolve BatchMatrixSolveLs
        BatchMatrixTriangularSolve BatchSelfAdjointEig BatchSelfAdjointEigV2 BatchSvd Cholesky Eig
        Einsum LogMatrixDeterminant Lu MatMul MatrixBandPart MatrixDeterminant MatrixDiag
        MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixExponential
        MatrixInverse MatrixLogarithm MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve
        MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Qr SelfAdjointEig SelfAdjointEigV2
        SparseMatMul Svd TridiagonalMatMul TridiagonalSolve
    """,
    "fourier": """
        BatchFFT BatchFFT2D BatchFFT3D BatchIFFT BatchIFFT2D BatchIFFT3D FFT FFT2D FFT3D FFTND IFFT
        IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND RFFT RFFT2D RFFT3D RFFTND
    """,
    "networks": """
        AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 BlockLSTM BlockLSTMV2
        CTCBeamSearchDecoder CTCGreedyDecoder CTCLoss CTCLossV2 Conv Conv2D Conv2DBackpropInput
        Conv2DBackpropInputV2 Conv3D Conv3DBackpropInput Conv3DBackpropInputV2 CudnnRNN
        CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 CudnnRNNCanonicalToParams
        CudnnRNNCanonicalToParamsV2 CudnnRNNParamsSize CudnnRNNParamsToCanonical
        CudnnRNNParamsToCanonicalV2 CudnnRNNV2 CudnnRNNV3 DepthwiseConv2dNative Dilation2D
        FractionalAvgPool FractionalMaxPool FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3
        FusedPadConv2D FusedResizeAndPadConv2D GRUBlockCell LRN LSTMBlockCell MaxPool MaxPool3D
        MaxPoolV2 MaxPoolWithArgmax SoftmaxCrossEntropyWithLogits
        SparseSoftmaxCrossEntropyWithLogits
    """,
    "gradients": """
        AvgPool3DGrad AvgPoolGrad BatchNormWithGlobalNormalizationGrad BiasAddGrad BlockLSTMGrad
        BlockLSTMGradV2 CholeskyGrad Conv2DBackpropFilter Conv2DBackpropFilterV2
        Conv3DBackpropFilter Conv3DBackpropFilterV2 CropAndResizeGradBoxes CropAndResizeGradImage
        DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput
        Dilation2DBackpropFilter Dilation2DBackpropInput EluGrad FakeQuantWithMinMaxArgsGradient
        FakeQuantWithMinMaxVarsGradient FakeQuantWithMinMaxVarsPerChannelGradient FusedBatchNormGrad
        FusedBatchNormGradV2 FusedBatchNormGradV3 GRUBlockCellGrad InvGrad LRNGrad LSTMBlockCellGrad
        LeakyReluGrad MaxPool3DGrad MaxPoolGrad MaxPoolGradGrad MaxPoolGradGradV2
        MaxPoolGradGradWithArgmax MaxPoolGradV2 MaxPoolGradWithArgmax MirrorPadGrad RandomGammaGrad
        ReciprocalGrad Relu6Grad ReluGrad ResizeBicubicGrad ResizeBilinearGrad
        ResizeNearestNeighborGrad RsqrtGrad SeluGrad SigmoidGrad SoftplusGrad SoftsignGrad SqrtGrad
        StridedSliceGrad TanhGrad TileGrad
    """,
    "quantised": """
        Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
        QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3
        QuantizeAndDequantizeV4 QuantizeDownAndShrinkRange QuantizeV2 QuantizedAdd QuantizedAvgPool
        QuantizedBiasAdd QuantizedConcat QuantizedConcatV2 QuantizedConv2D QuantizedDepthwiseConv2D
        QuantizedMatMul QuantizedMaxPool QuantizedMul QuantizedRelu QuantizedRelu6 QuantizedReluX
        QuantizedReshape QuantizedResizeBilinear RequantizationRange Requantize UniformDequantize
        UniformQuantize UniformQuantizedAdd UniformQuantizedClipByValue UniformQuantizedConvolution
        UniformQuantizedConvolutionHybrid UniformQuantizedDot UniformQuantizedDotHybrid
        UniformRequantize
    """,
    "random": """
        LogUniformCandidateSampler Multinomial NonDeterministicInts ParameterizedTruncatedNormal
        RandomGamma RandomIndexShuffle RandomPoisson RandomPoissonV2 RandomShuffle
        RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip
        StatefulRandomBinomial StatefulStandardNormal StatefulStandardNormalV2
        StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
        StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial
        StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg
        StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal
        StatelessRandomNormalV2 StatelessRandomPoisson StatelessRandomUniform
        StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt
        StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle
        StatelessTruncatedNormal StatelessTruncatedNormalV2 StochasticCastToInt TruncatedNormal
        UniformCandidateSampler
    """,
    "strings": """
        AsString DecodeBase64 DecodeCSV DecodeJSONExample DecodePaddedRaw DecodeRaw EncodeBase64
        Fingerprint ParseExample ParseExampleV2 ParseSequenceExample ParseSequenceExampleV2
        ParseSingleExample ParseSingleSequenceExample ParseTensor ReduceJoin RegexFullMatch
        RegexReplace SerializeTensor ShardedFilename ShardedFilespec StaticRegexFullMatch
        StaticRegexReplace StringFormat StringJoin StringLength StringLower StringNGrams StringSplit
        StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
        StringToNumber StringUpper Substr UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode
        UnicodeScript UnicodeTranscode
    """,
    "sparse and ragged": """
        DenseCountSparseOutput DenseToDenseSetOperation DenseToSparseSetOperation
        DeserializeManySparse DeserializeSparse EditDistance RaggedBincount RaggedCountSparseOutput
        RaggedCross RaggedFillEmptyRows RaggedGather RaggedRange RaggedTensorFromVariant
        RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant SerializeManySparse
        SerializeSparse SetSize SparseAdd SparseBincount SparseConcat SparseCountSparseOutput
        SparseCross SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd SparseDenseCwiseDiv
        SparseDenseCwiseMul SparseFillEmptyRows SparseReduceMax SparseReduceMaxSparse
        SparseReduceSum SparseReduceSumSparse SparseReorder SparseReshape SparseSlice SparseSoftmax
        SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd
        SparseTensorDenseMatMul SparseToDense SparseToSparseSetOperation
    """,
    "images and sound": """
        AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation AudioSpectrogram
        CombinedNonMaxSuppression CropAndResize DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage
        DecodeJpeg DecodePng DecodeWav DrawBoundingBoxes DrawBoundingBoxesV2 EncodeJpeg
        EncodeJpegVariableQuality EncodePng EncodeWav ExtractGlimpse ExtractGlimpseV2
        ExtractJpegShape GenerateBoundingBoxProposals HSVToRGB ImageProjectiveTransformV2
        ImageProjectiveTransformV3 Mfcc NearestNeighbors NonMaxSuppression NonMaxSuppressionV2
        NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps
        RGBToHSV RandomCrop ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
        SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ScaleAndTranslate
        StatelessSampleDistortedBoundingBox
    """,
}

ALLOWED = frozenset(name for names in _NAMES.values() for name in names.split())
"""What may stand anywhere in a graph."""


class FileOperator(NamedTuple):
    """Where an operator that touches files may stand, and what its file's name has to be.

    ``area`` is what has to reach it: the model's ``save``, ``restore`` or ``init``. ``argument``
    is the input that is the name: the loader's own file name, or that of an asset; -1 when the
    area is one that no server runs.
    """

    area: str
    argument: int = -1
    origin: str = ""


FILE_OPERATORS = MappingProxyType(
    {
        **dict.fromkeys(
            ("Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints"), FileOperator("save")
        ),
        **dict.fromkeys(
            ("Restore", "RestoreSlice", "RestoreV2"), FileOperator("restore", 0, "filename")
        ),
        **dict.fromkeys(
            ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
            FileOperator("init", 1, "asset"),
        ),
    }
)
"""The operators that a SavedModel has for its own files."""

_ADVICE = (
    (("PyFunc", "EagerPyFunc"), "Python does not travel with a graph: write it in TensorFlow"),
    (("Dataset", "Iterator", "Reader", "Queue"), "export the model without its input pipeline"),
    (("ReadFile", "WriteFile", "MatchingFiles"), "give what is in the file as an input instead"),
    (("Xla", "Mlir"), "export it without jit_compile and native serialisation"),
    (("Print", "Summary", "Debug", "Dump"), "export it without printing and summaries"),
)


def advice(operator: str) -> str:
    """Return what helps against an operator that is not allowed."""
    for marks, told in _ADVICE:
        if any(mark in operator for mark in marks):
            return told
    return "export the model for inference alone, with TensorFlow's own operators"
