// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IVerifier} from "../interfaces/IVerifier.sol";
import {CodeStorage} from "../libraries/CodeStorage.sol";
import {Claim, EvidenceKind} from "../libraries/Types.sol";
import {ClaimList} from "../libraries/proof/ClaimList.sol";
import {Field} from "../libraries/proof/Field.sol";
import {Images} from "../libraries/proof/Images.sol";
import {Linears} from "../libraries/proof/Linears.sol";
import {
    ALL_POINTS,
    ALPHA,
    AT_PARTS,
    AT_POINTS,
    AT_QUOTIENT,
    BETA,
    ENTRIES,
    ENTRY_BYTES,
    HELPER_POINTS,
    INPUT_COMMITTED,
    INPUT_DATA,
    INPUT_POINTS,
    LOOKUPS,
    MU,
    Memory,
    OUTPUT_DATA,
    OUTPUT_TENSOR,
    PARAMETER_POINTS,
    TABLE_POINTS,
    TENSORS,
    TRACE_POINTS,
    ZETA,
    load,
    store
} from "../libraries/proof/Memory.sol";
import {Openings} from "../libraries/proof/Openings.sol";
import {Precompiles} from "../libraries/proof/Precompiles.sol";
import {Proofs} from "../libraries/proof/Proofs.sol";
import {PublicTensor} from "../libraries/proof/PublicTensor.sol";
import {OFFSET, SIZE, Tensor} from "../libraries/proof/Records.sol";
import {Rows} from "../libraries/proof/Rows.sol";
import {Transcript} from "../libraries/proof/Transcript.sol";
import {CircuitReader} from "./CircuitReader.sol";

/// @title ProofVerifier: a proof that a registered model gives this output for this input
/// @notice One verifier for every canonical model: it reads the model's descriptor and commitments from the
///         registry, and follows circuits/verifier.py (docs/proofs.md is the protocol's page). Statistical error
///         about 2^-218 a hash query at 2^20 rows; the level is that of the curve.
/// @dev A proof is not unique: never use its hash as a nullifier. It is bound to `context`, which the caller
///      consumes.
contract ProofVerifier is IVerifier {
    bytes4 internal constant SELECTOR = bytes4(keccak256("affidavit.verifier.proof.v1"));
    bytes32 private constant TAG = "affidavit/proof/2";
    uint256 private constant TAG_BYTES = 17;
    uint256 private constant BENEFICIARY_BYTES = 20;
    uint256 private constant G2_BYTES = 256;
    /// @dev Entries behind the last, for the check that needs two more points.
    uint256 private constant SPARE_ENTRIES = 2;
    /// @dev Chunks of 4096 entries are those of the Ethereum ceremony, which point evaluation (0x0a) is about.
    uint256 private constant CEREMONY_BITS = 12;
    uint256 private constant MAX_CHUNK_BITS = 20;

    IModelRegistry public immutable MODELS;
    /// @notice A commitment is to 2^CHUNK_BITS entries.
    uint256 public immutable CHUNK_BITS;
    /// @notice Reads models, and creates the contracts that keep them.
    CircuitReader public immutable READER;
    /// @dev Where [τ]_2 is stored, for other setups than the ceremony's.
    address private immutable TAU;

    event ModelPrepared(bytes32 indexed modelId, address image);

    /// @notice No setup of 2^chunkBits powers with a [τ]_2 of that many bytes: 256, or none for the Ethereum
    ///         ceremony's 2^12 powers.
    error UnknownSetup(uint256 chunkBits, uint256 tauBytes);
    error TensorLength(bytes32 tensor, uint256 expectedBytes, uint256 gotBytes);
    error TensorRange(bytes32 tensor);
    /// @notice The combined commitment does not open to the claims' value.
    error WrongOpening();
    error EvidenceTooShort(uint256 minBytes, uint256 gotBytes);
    error InputMismatch(bytes32 expected, bytes32 got);
    error OutputMismatch(bytes32 expected, bytes32 got);

    /// @param tauG2 [τ]_2 as EIP-2537 encodes it; empty for the Ethereum ceremony. It must come from the setup whose
    ///        powers the models are committed with, and nobody may know more than 2^chunkBits of them.
    constructor(IModelRegistry models, uint256 chunkBits, bytes memory tauG2) {
        bool isKnown = tauG2.length == 0
            ? chunkBits == CEREMONY_BITS
            : tauG2.length == G2_BYTES && chunkBits != 0 && chunkBits <= MAX_CHUNK_BITS;
        if (!isKnown) revert UnknownSetup(chunkBits, tauG2.length);
        MODELS = models;
        CHUNK_BITS = chunkBits;
        READER = new CircuitReader(models, chunkBits);
        TAU = tauG2.length == 0 ? address(0) : CodeStorage.write(tauG2);
    }

    /// @inheritdoc IVerifier
    function kind() external pure returns (EvidenceKind) {
        return EvidenceKind.PROOF;
    }

    /// @inheritdoc IVerifier
    function selector() external pure returns (bytes4) {
        return SELECTOR;
    }

    /// @inheritdoc IVerifier
    /// @notice Evidence: 20 bytes, who is paid, then the proof. It is bound to both the request and who is paid.
    function verify(
        Claim calldata claim,
        bytes32,
        bytes32,
        bytes calldata input,
        bytes calldata output,
        bytes calldata data
    ) external view returns (address[] memory beneficiaries) {
        if (data.length < BENEFICIARY_BYTES) {
            revert EvidenceTooShort(BENEFICIARY_BYTES, data.length);
        }
        uint256 free = Memory.free();
        if (keccak256(input) != claim.inputDigest) revert InputMismatch(claim.inputDigest, keccak256(input));
        if (keccak256(output) != claim.outputDigest) revert OutputMismatch(claim.outputDigest, keccak256(output));
        // Hashing copied both into memory, however long they are; the verification has its own places there.
        Memory.reset(free);
        beneficiaries = new address[](1);
        beneficiaries[0] = address(bytes20(data[:BENEFICIARY_BYTES]));
        bytes32 context = keccak256(abi.encode(claim.requestId, beneficiaries[0]));
        _verifyProof(claim.modelId, context, input, output, data[BENEFICIARY_BYTES:]);
    }

    /// @notice Where a prepared model's image begins (Images.sol); zero for others.
    function imageOf(bytes32 modelId) public view returns (address image) {
        image = Images.locate(address(READER), modelId, 0);
        if (image.code.length == 0) return address(0);
    }

    /// @notice Keeps what the verifier reads of a model in the form in which it needs it: every proof then takes less
    ///         gas. Anyone may; nothing depends on it. A model of more than some 250 commitments takes more than one
    ///         call: until an address is returned. Reverts for a descriptor that is not well formed.
    function prepare(bytes32 modelId) external returns (address image) {
        image = imageOf(modelId);
        if (image != address(0)) return image;
        READER.write(modelId);
        image = imageOf(modelId);
        if (image != address(0)) emit ModelPrepared(modelId, image);
    }

    /// @notice Returns if `proof` shows that the model gives `output` for `input`, in this context; reverts else.
    /// @param context 32 bytes the caller chooses and consumes. Nothing else ties a proof to a place or a time.
    /// @param input Packed big-endian int16, exactly as many as the model's input has elements; `output` likewise.
    ///        Where the model's input is committed: 96 bytes a chunk.
    function verifyProof(
        bytes32 modelId,
        bytes32 context,
        bytes calldata input,
        bytes calldata output,
        bytes calldata proof
    ) external view {
        _verifyProof(modelId, context, input, output, proof);
    }

    /// @dev The protocol. What it drew stays in memory (Memory.sol).
    function _verifyProof(
        bytes32 modelId,
        bytes32 context,
        bytes calldata input,
        bytes calldata output,
        bytes calldata proof
    ) internal view {
        _readModel(modelId);
        store(INPUT_DATA, _requireInput(input));
        store(OUTPUT_DATA, _requireTensor("output", load(OUTPUT_TENSOR), output));
        Proofs.open(proof);
        _beginTranscript(modelId, context, input.length, output.length);
        _receiveCommitments();
        Rows.verify();
        Linears.verify();
        Linears.verifyMaps();
        Transcript.draw(MU, 1);
        Transcript.absorbField(AT_PARTS, AT_QUOTIENT);
        Transcript.draw(ZETA, 1);
        _verifyOpening();
    }

    // ---- before the first hash ----------------------------------------------------------------------------------

    /// @dev Brings what is known of the model into memory, as it was kept or as the reader makes it, and the entries
    ///      of the proof's points behind the model's.
    function _readModel(bytes32 modelId) private view {
        unchecked {
            Memory.begin();
            if (!Images.load(address(READER), modelId)) {
                Memory.loadImage(address(READER), abi.encodeCall(CircuitReader.read, (modelId)));
            }
            Memory.allocate(ENTRY_BYTES * (load(ALL_POINTS) + SPARE_ENTRIES - load(PARAMETER_POINTS)));
        }
    }

    /// @dev Values, or as many points as the padded input has chunks with a true entry.
    function _requireInput(bytes calldata data) private pure returns (uint256 place) {
        unchecked {
            if (load(INPUT_COMMITTED) == 0) return _requireTensor("input", TENSORS, data);
            uint256 expectedBytes = Proofs.POINT_BYTES * load(INPUT_POINTS);
            if (data.length != expectedBytes) revert TensorLength("input", expectedBytes, data.length);
            assembly ("memory-safe") {
                place := data.offset
            }
        }
    }

    /// @dev Returns the calldata position of the values.
    function _requireTensor(bytes32 name, uint256 record, bytes calldata data) private pure returns (uint256 place) {
        unchecked {
            Tensor tensor = Tensor.wrap(record);
            uint256 expectedBytes = 2 * tensor.get(SIZE);
            if (data.length != expectedBytes) revert TensorLength(name, expectedBytes, data.length);
            if (!PublicTensor.isInRange(data, tensor.get(OFFSET))) revert TensorRange(name);
            assembly ("memory-safe") {
                place := data.offset
            }
        }
    }

    // ---- transcript ---------------------------------------------------------------------------------------------

    function _beginTranscript(bytes32 modelId, bytes32 context, uint256 inputBytes, uint256 outputBytes) private pure {
        Transcript.absorbWord(TAG, TAG_BYTES);
        Transcript.absorbWord(modelId, 32);
        Transcript.absorbWord(context, 32);
        Transcript.absorb(load(INPUT_DATA), inputBytes);
        Transcript.absorb(load(OUTPUT_DATA), outputBytes);
    }

    function _receiveCommitments() private pure {
        unchecked {
            uint256 place = load(AT_POINTS);
            place = _receive(place, load(TRACE_POINTS));
            place = _receive(place, load(TABLE_POINTS));
            Transcript.draw(ALPHA, 1);
            if (load(LOOKUPS) != 0) Transcript.draw(BETA, 1);
            place = _receive(place, load(HELPER_POINTS));
            _receive(place, load(TABLE_POINTS));
        }
    }

    /// @dev Absorbs points; returns the position behind them.
    function _receive(uint256 place, uint256 points) private pure returns (uint256) {
        unchecked {
            Transcript.absorb(place, Proofs.POINT_BYTES * points);
            return place + Proofs.POINT_BYTES * points;
        }
    }

    // ---- the one opening ----------------------------------------------------------------------------------------

    function _verifyOpening() private view {
        unchecked {
            Openings.open();
            ClaimList.addAll();
            uint256 first = load(PARAMETER_POINTS);
            uint256 last = load(ALL_POINTS) - load(INPUT_POINTS) - 1;
            Openings.putCalldata(first, load(AT_POINTS), last - first);
            Openings.putCalldata(last, load(AT_PARTS) + Proofs.POINT_BYTES, 1);
            Openings.putCalldata(last + 1, load(INPUT_DATA), load(INPUT_POINTS));
            Openings.setScalar(last, Field.mul(load(ZETA), Openings.topPower()));
            if (!(TAU == address(0) ? _isEvaluation() : _isPaired())) revert WrongOpening();
        }
    }

    /// @dev e(F − y + ζ·Q, [1]_2) = e(Q, [τ]_2) for y = −V·ζ^n: the two products join the one multi-scalar
    ///      multiplication. It is infinite exactly where Q is.
    function _isPaired() private view returns (bool) {
        unchecked {
            uint256 count = load(ALL_POINTS);
            uint256 quotient = load(AT_QUOTIENT);
            Openings.putCalldata(count, quotient, 1);
            Openings.setScalar(count, load(ZETA));
            Openings.putGenerator(count + 1, Openings.claimedValue());
            address tau = TAU;
            uint256 pairs = Memory.allocate(0x300);
            assembly ("memory-safe") {
                calldatacopy(add(pairs, 0x190), quotient, 48)
                calldatacopy(add(pairs, 0x1d0), add(quotient, 48), 48)
                extcodecopy(tau, add(pairs, 0x200), 1, G2_BYTES)
            }
            _combine(count + 2, pairs);
            return Precompiles.isPaired(pairs);
        }
    }

    /// @dev The multiplication's sum and A, which counts once: adding it costs a tenth of one more entry. That A is
    ///      of the prime-order group is checked of the whole, by point evaluation as by pairing.
    function _combine(uint256 count, uint256 to) private view {
        unchecked {
            uint256 pair = Memory.allocate(256);
            Precompiles.multiply(load(ENTRIES), count, pair);
            uint256 part = load(AT_PARTS);
            assembly ("memory-safe") {
                calldatacopy(add(pair, 0x90), part, 48)
                calldatacopy(add(pair, 0xd0), add(part, 48), 48)
            }
            Precompiles.add(pair, to);
            Precompiles.requireFinite(to);
        }
    }

    /// @dev One multi-scalar multiplication and one point evaluation.
    function _isEvaluation() private view returns (bool) {
        unchecked {
            uint256 quotient = load(AT_QUOTIENT);
            uint256 combined = Memory.allocate(0x100);
            assembly ("memory-safe") {
                calldatacopy(add(combined, 0x90), quotient, 48)
                calldatacopy(add(combined, 0xd0), add(quotient, 48), 48)
            }
            _combine(load(ALL_POINTS), combined);
            // Point evaluation is given x and one bit of y: that the rest of y fits is checked here.
            Precompiles.requireOnCurve(combined + 0x80);
            uint256 value = Field.negate(Openings.claimedValue());
            return Precompiles.isEvaluation(combined, load(ZETA), value, combined + 0x80);
        }
    }
}
