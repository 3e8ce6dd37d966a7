// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Models by their digest, immutable once registered
interface IModelRegistry {
    /// @notice What is known of a model. `circuitPointer` holds the circuit as contract code behind one STOP byte, or
    ///         is zero.
    struct Model {
        address owner;
        uint8 kind;
        bool isDeprecated;
        address circuitPointer;
        bytes32 manifestDigest;
        bytes32 circuitDigest;
    }

    event ModelRegistered(
        bytes32 indexed modelId,
        uint8 kind,
        bytes32 manifestDigest,
        bytes32 circuitDigest,
        bytes32[] parameters,
        address indexed owner,
        string dataUri
    );
    event ModelDeprecated(bytes32 indexed modelId);
    /// @notice A part of some model's commitments is now stored, for every model that has it.
    event ParametersStored(bytes32 indexed digest, address pointer);

    error UnknownKind(uint8 kind);
    error CircuitMissing();
    error CircuitUnexpected();
    error ManifestMissing();
    error ParametersMissing();
    error ParametersUnexpected();
    error TooManyParts(uint256 maxParts, uint256 gotParts);
    error PartLength(uint256 gotBytes);
    error PartNotStored(bytes32 digest);
    error PartNotFull(bytes32 digest, uint256 expectedBytes, uint256 gotBytes);
    error AlreadyRegistered(bytes32 modelId);
    error AlreadyDeprecated(bytes32 modelId);
    error UnknownModel(bytes32 modelId);
    error NotModelOwner(address owner, address caller);

    /// @notice Stores one part of a model's commitments, unless it is stored. Anyone may.
    /// @param points Points of 96 bytes (x ‖ y), at most PART_BYTES in all, not none.
    /// @return digest keccak256(0x00 ‖ points), which is the code hash of the contract that holds them.
    function storeParameters(bytes calldata points) external returns (bytes32 digest);

    /// @notice Registers a model under the id its contents give.
    /// @param circuit The descriptor of a canonical model; empty for an opaque one.
    /// @param parameters Digests of the parts of the commitments to its weights, stored before: all full but the last.
    ///        Empty for an opaque model.
    function register(
        uint8 kind,
        bytes32 manifestDigest,
        bytes calldata circuit,
        bytes32[] calldata parameters,
        string calldata dataUri
    ) external returns (bytes32 modelId);

    /// @notice No new requests for this model; deliveries of existing ones go on. For ever.
    function deprecate(bytes32 modelId) external;

    /// @notice The registered model; reverts when there is none.
    function modelOf(bytes32 modelId) external view returns (Model memory);

    /// @notice Whether the model is registered and not deprecated.
    function isActive(bytes32 modelId) external view returns (bool);

    /// @notice The circuit bytes, empty for opaque models; reverts when there is no such model.
    function circuitOf(bytes32 modelId) external view returns (bytes memory);

    /// @notice Where the circuit is stored, behind one STOP byte; zero for opaque models; reverts when there is no such
    ///         model.
    function circuitPointerOf(bytes32 modelId) external view returns (address pointer);

    /// @notice Where the parts of the model's commitments are stored, in order, each behind one STOP byte; none for
    ///         opaque models; reverts when there is no such model.
    function parametersOf(bytes32 modelId) external view returns (address[] memory pointers);

    /// @notice The digests of those parts, which the model's id binds.
    function parameterDigestsOf(bytes32 modelId) external view returns (bytes32[] memory digests);

    /// @notice Where a part is stored; zero when it is not.
    function pointerOf(bytes32 digest) external view returns (address pointer);
}
