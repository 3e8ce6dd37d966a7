// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IVerifier} from "../interfaces/IVerifier.sol";
import {CodeStorage} from "../libraries/CodeStorage.sol";
import {Claim, EvidenceKind} from "../libraries/Types.sol";
import {ClaimList} from "../libraries/proof/ClaimList.sol";
import {R} from "../libraries/proof/Field.sol";
import {Image} from "../libraries/proof/Image.sol";
import {Layout, Layouts} from "../libraries/proof/Layout.sol";
import {Linears} from "../libraries/proof/Linears.sol";
import {Shapes, Tensor} from "../libraries/proof/Network.sol";
import {Opening, Openings} from "../libraries/proof/Openings.sol";
import {Points} from "../libraries/proof/Points.sol";
import {Precompiles} from "../libraries/proof/Precompiles.sol";
import {PublicTensor} from "../libraries/proof/PublicTensor.sol";
import {Rows} from "../libraries/proof/Rows.sol";
import {Fields, Proofs, Run} from "../libraries/proof/Run.sol";
import {Transcript} from "../libraries/proof/Transcript.sol";
import {CircuitReader} from "./CircuitReader.sol";

/// @title ProofVerifier: a proof that a registered model gives this output for this input
/// @notice One verifier for every canonical model: it reads the model's descriptor and commitments from the registry, and
///         follows circuits/verifier.py (docs/proofs.md is the protocol's page). Statistical error about 2^-231 a hash
///         query; the level is that of the curve.
/// @dev A proof is not unique: never use its hash as a nullifier. It is bound to `context`, which the caller consumes.
contract ProofVerifier is IVerifier {
    bytes4 internal constant SELECTOR = bytes4(keccak256("affidavit.verifier.proof.v1"));
    bytes17 private constant TAG = "affidavit/proof/2";
    uint256 private constant BENEFICIARY_BYTES = 20;
    uint256 private constant POINT_BYTES = 96;
    uint256 private constant G2_BYTES = 256;
    /// @dev Chunks of 4096 entries are those of the Ethereum ceremony, which point evaluation (0x0a) is about.
    uint256 private constant CEREMONY_BITS = 12;
    uint256 private constant MAX_CHUNK_BITS = 20;

    IModelRegistry public immutable MODELS;
    /// @notice A commitment is to 2^CHUNK_BITS entries.
    uint256 public immutable CHUNK_BITS;
    /// @notice Reads the models' descriptors.
    CircuitReader public immutable READER;
    /// @dev Where [τ]_2 is stored, for other setups than the ceremony's.
    address private immutable TAU;

    /// @notice No setup of 2^chunkBits powers with a [τ]_2 of that many bytes: 256, or none for the Ethereum ceremony's
    ///         2^12 powers.
    error UnknownSetup(uint256 chunkBits, uint256 tauBytes);
    error NoCircuit(bytes32 modelId);
    error ParameterCount(uint256 expectedPoints, uint256 gotBytes);
    error TensorLength(bytes32 tensor, uint256 expectedBytes, uint256 gotBytes);
    error TensorRange(bytes32 tensor);
    error ProofLength(uint256 expectedBytes, uint256 gotBytes);
    error ProofVersion(bytes4 version);
    /// @notice A scalar of the proof is not below r.
    error ScalarNotReduced();
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
        READER = new CircuitReader();
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
        if (data.length < BENEFICIARY_BYTES) revert EvidenceTooShort(BENEFICIARY_BYTES, data.length);
        if (keccak256(input) != claim.inputDigest) revert InputMismatch(claim.inputDigest, keccak256(input));
        if (keccak256(output) != claim.outputDigest) revert OutputMismatch(claim.outputDigest, keccak256(output));
        beneficiaries = new address[](1);
        beneficiaries[0] = address(bytes20(data[:BENEFICIARY_BYTES]));
        bytes32 context = keccak256(abi.encode(claim.requestId, beneficiaries[0]));
        _verifyProof(claim.modelId, context, input, output, data[BENEFICIARY_BYTES:]);
    }

    /// @notice Returns if `proof` shows that the model gives `output` for `input`, in this context; reverts else.
    /// @param context 32 bytes the caller chooses and consumes. Nothing else ties a proof to a place or a time.
    /// @param input Packed big-endian int16, exactly as many as the model's input has elements; `output` likewise.
    function verifyProof(
        bytes32 modelId,
        bytes32 context,
        bytes calldata input,
        bytes calldata output,
        bytes calldata proof
    ) external view {
        _verifyProof(modelId, context, input, output, proof);
    }

    /// @dev The protocol. Returns its transcript, for tests.
    function _verifyProof(
        bytes32 modelId,
        bytes32 context,
        bytes calldata input,
        bytes calldata output,
        bytes calldata proof
    ) internal view returns (Run[] memory runs) {
        runs = _readCircuit(modelId);
        Run memory run = runs[0];
        _requireTensor("input", run.network.tensors[0], input);
        _requireTensor("output", run.network.tensors[run.network.output], output);
        run.fields = _requireProof(run.plan, proof);
        run.coordinates = Points.newCoordinates();
        _beginTranscript(run, modelId, context, input, output);
        _receiveCommitments(run);
        Rows.verify(run);
        Linears.verify(run);
        Linears.verifyMaps(run);
        run.challenges.mu = Proofs.draw(run);
        Proofs.absorb(run, run.fields.parts, run.fields.quotient);
        run.challenges.zeta = Proofs.draw(run);
        _verifyOpening(run, modelId);
    }

    // ---- before the first hash ----------------------------------------------------------------------------------

    function _readCircuit(bytes32 modelId) private view returns (Run[] memory) {
        address pointer = MODELS.circuitPointerOf(modelId);
        if (pointer == address(0)) revert NoCircuit(modelId);
        return Image.load(address(READER), abi.encodeCall(CircuitReader.read, (pointer, CHUNK_BITS)));
    }

    function _requireTensor(bytes32 name, Tensor memory tensor, bytes calldata data) private pure {
        unchecked {
            uint256 expectedBytes = 2;
            for (uint256 a; a < tensor.rank; ++a) {
                expectedBytes *= Shapes.dimension(tensor.shape, a);
            }
            if (data.length != expectedBytes) revert TensorLength(name, expectedBytes, data.length);
            if (!PublicTensor.isInRange(data, tensor.offset)) revert TensorRange(name);
        }
    }

    function _requireProof(Layout memory plan, bytes calldata proof) private pure returns (Fields memory fields) {
        unchecked {
            uint256 start;
            assembly ("memory-safe") {
                start := proof.offset
            }
            fields = Proofs.locate(plan, start);
            uint256 expectedBytes = fields.end - start;
            if (proof.length != expectedBytes) revert ProofLength(expectedBytes, proof.length);
            if (bytes4(proof) != Proofs.MAGIC) revert ProofVersion(bytes4(proof));
            bool isReduced = true;
            (uint256 place, uint256 last) = (fields.rowRounds, fields.parts);
            assembly ("memory-safe") {
                for {} lt(place, last) { place := add(place, 0x20) } {
                    isReduced := and(isReduced, lt(calldataload(place), R))
                }
            }
            if (!isReduced) revert ScalarNotReduced();
        }
    }

    // ---- transcript ---------------------------------------------------------------------------------------------

    function _beginTranscript(
        Run memory run,
        bytes32 modelId,
        bytes32 context,
        bytes calldata input,
        bytes calldata output
    ) private pure {
        (uint256 inputAt, uint256 outputAt) = (0, 0);
        assembly ("memory-safe") {
            inputAt := input.offset
            outputAt := output.offset
        }
        (run.input, run.output) = (inputAt, outputAt);
        uint256 state = Transcript.absorbWord(0, TAG, 17);
        state = Transcript.absorbWord(state, modelId, 32);
        state = Transcript.absorbWord(state, context, 32);
        state = Transcript.absorb(state, inputAt, input.length);
        run.state = Transcript.absorb(state, outputAt, output.length);
    }

    function _receiveCommitments(Run memory run) private pure {
        unchecked {
            Layout memory plan = run.plan;
            uint256 first = run.fields.points;
            uint256 last = first + POINT_BYTES * plan.tracePoints;
            Proofs.absorb(run, first, last);
            (first, last) = (last, last + POINT_BYTES * plan.tablePoints);
            Proofs.absorb(run, first, last);
            run.challenges.alpha = Proofs.draw(run);
            if (run.network.lookups != 0) run.challenges.beta = Proofs.draw(run);
            (first, last) = (last, last + POINT_BYTES * plan.helperPoints);
            Proofs.absorb(run, first, last);
            Proofs.absorb(run, last, run.fields.rowRounds);
        }
    }

    // ---- the one opening ----------------------------------------------------------------------------------------

    function _verifyOpening(Run memory run, bytes32 modelId) private view {
        unchecked {
            uint256 zeta = run.challenges.zeta;
            Opening memory o = Openings.open(run.plan, run.coordinates, run.challenges.mu, zeta);
            ClaimList.addAll(run, o);
            uint256 parameters = Layouts.firstParameter(run.plan);
            uint256 parts = parameters - 2;
            Openings.putCalldata(o, 0, run.fields.points, parts);
            Openings.putCalldata(o, parts, run.fields.parts, 2);
            _putParameters(run.plan, o, modelId);
            Openings.setScalar(o, parts, R - 1);
            Openings.setScalar(o, parts + 1, R - mulmod(zeta, Openings.topPower(o), R));
            uint256 value = Openings.claimedValue(o);
            uint256 count = Layouts.countPoints(run.plan);
            bool isOpen = TAU == address(0)
                ? _isEvaluation(o, count, zeta, value, run.fields.quotient)
                : _isPaired(o, count, zeta, value, run.fields.quotient);
            if (!isOpen) revert WrongOpening();
        }
    }

    /// @dev Copies the model's commitments from the contracts that hold them.
    function _putParameters(Layout memory plan, Opening memory o, bytes32 modelId) private view {
        unchecked {
            address[] memory pointers = MODELS.parametersOf(modelId);
            uint256 slot = Layouts.firstParameter(plan);
            uint256 left = plan.parameterPoints;
            for (uint256 i; i < pointers.length; ++i) {
                uint256 size = pointers[i].code.length - 1;
                uint256 points = size / POINT_BYTES;
                if (size % POINT_BYTES != 0 || points > left) revert ParameterCount(plan.parameterPoints, size);
                address pointer = pointers[i];
                uint256 buffer;
                assembly ("memory-safe") {
                    buffer := mload(0x40)
                    extcodecopy(pointer, buffer, 1, size)
                }
                Openings.putMemory(o, slot, buffer, points);
                slot += points;
                left -= points;
            }
            if (left != 0) revert ParameterCount(plan.parameterPoints, 0);
        }
    }

    /// @dev e(F − value + ζ·Q, [1]_2) = e(Q, [τ]_2): the two products join the one multi-scalar multiplication. It is
    ///      infinite exactly where Q is.
    function _isPaired(Opening memory o, uint256 count, uint256 zeta, uint256 value, uint256 quotient)
        private
        view
        returns (bool)
    {
        unchecked {
            Openings.putCalldata(o, count, quotient, 1);
            Openings.setScalar(o, count, zeta);
            Openings.putGenerator(o, count + 1, R - value);
            address tau = TAU;
            uint256 pairs;
            assembly ("memory-safe") {
                pairs := mload(0x40)
                mstore(0x40, add(pairs, 0x300))
                calldatacopy(add(pairs, 0x180), calldatasize(), 0x80)
                calldatacopy(add(pairs, 0x190), quotient, 48)
                calldatacopy(add(pairs, 0x1d0), add(quotient, 48), 48)
                extcodecopy(tau, add(pairs, 0x200), 1, G2_BYTES)
            }
            Precompiles.multiply(o.entries, count + 2, pairs);
            return Precompiles.isPaired(pairs);
        }
    }

    /// @dev One multi-scalar multiplication and one point evaluation.
    function _isEvaluation(Opening memory o, uint256 count, uint256 zeta, uint256 value, uint256 quotient)
        private
        view
        returns (bool)
    {
        uint256 combined;
        assembly ("memory-safe") {
            combined := mload(0x40)
            mstore(0x40, add(combined, 0x100))
            calldatacopy(add(combined, 0x80), calldatasize(), 0x80)
            calldatacopy(add(combined, 0x90), quotient, 48)
            calldatacopy(add(combined, 0xd0), add(quotient, 48), 48)
        }
        Precompiles.multiply(o.entries, count, combined);
        // Point evaluation is given x and one bit of y: that the rest of y fits is checked here.
        Precompiles.requireOnCurve(combined + 0x80);
        return Precompiles.isEvaluation(combined, zeta, value, combined + 0x80);
    }
}
